"""Kerberos: takes tickets, which clients bring."""
