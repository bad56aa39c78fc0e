"""The thin HTTP surface: endpoint declarations, and Twisted at one door."""
