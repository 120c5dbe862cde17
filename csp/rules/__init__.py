"""What a change may be: one transaction put together and checked, over whatever state it is asked.

A master carries out transactions by these rules, and an import tries its own before it sends them.
"""
