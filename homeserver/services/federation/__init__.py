"""Speaking with other servers: who they are, what they send, and what is sent to them."""
