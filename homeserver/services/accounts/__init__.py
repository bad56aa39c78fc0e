"""Accounts: registration, login, devices, profiles, account data."""
