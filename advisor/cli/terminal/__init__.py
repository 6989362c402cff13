"""What a terminal sees and sends: streams, notes while one waits, signals."""
