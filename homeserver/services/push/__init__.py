"""Push rules, as users edit them."""
