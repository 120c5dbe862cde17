"""LDAP: asks directories whether a password is a user's."""
