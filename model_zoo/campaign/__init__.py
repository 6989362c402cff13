"""What is simulated: mixes, runs, searches for their limits, all kept on disk."""
