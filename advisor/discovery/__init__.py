"""What can be found out about adapters and their traffic: from folders, metrics, logs and launch files."""
