"""`echo-edge bench`: time, memory and energy that a bundle takes on this board, and its accuracy.

run          the configurations and their order        measurement  from measurements to a record
measure      offline: as fast as possible, in rounds   live         chunks at a steady pace
probe        loading and memory in a fresh process     reference    a fixed piece of work beside
machine      heat, clocks, what else runs              validity     whether a measurement counts
decisions    decisions beside float's                  accuracy     DER and WER
record       the format of a record                    report/      tables, pages, files
"""
