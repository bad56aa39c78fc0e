"""What happened since a client last looked."""
