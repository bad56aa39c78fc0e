"""Columba and Synapse as two servers of one network: what their users do together."""
