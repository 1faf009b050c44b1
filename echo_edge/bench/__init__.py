"""`echo-edge bench`: what a bundle takes on this board, whether that counts, and for whom.

command   options, reports, exit code
run       which configurations, in which order
measure   offline: as fast as possible, in turns      live       chunks at a steady pace
probe     loading and memory in a fresh process       reference  a fixed piece of work beside
machine   heat, clocks, what else ran                 valid      whether a measurement counts
record    the JSON                                    schema     what a record read must hold
file      reading and appending records               compare    what became worse
tasks     decisions beside float's                    accuracy   turns and words against the truth
table     for the terminal                            page, svg  for the browser
"""
