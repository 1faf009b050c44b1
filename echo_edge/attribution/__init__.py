"""Activity and words to labelled turns and words, live or decided at the end of a recording."""
