"""All doors in: inventory files, request logs, files of lengths, and what is wrong with them, by line."""
