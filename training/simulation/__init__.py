"""Speech as a microphone hears it: noise, rooms, conversations, and the batches of them."""
