"""What this machine is: processor, memory, heat, energy."""
