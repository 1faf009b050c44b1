"""The recorder and long recordings: latency, memory over hours, kills."""
