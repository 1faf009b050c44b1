"""Speech on disk as utterances with text, speakers and phones."""
