"""What derivation rests on, fitted: operator times and the host, and the commands of both."""
