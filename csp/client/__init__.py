"""A client of csp servers, blocking and for asyncio."""

from csp.client.address import Address, parse_address
from csp.client.async_client import AsyncClient
from csp.client.client import Client
from csp.client.connection import Connection
from csp.client.core import Credentials
from csp.client.problems import CannotConnect, ConnectionLost, NotApplied
from csp.client.results import Created, Outcome, Page
from csp.client.subscription import Change, Gap, Notice
from csp.client.values import as_mapping

__all__ = [
    "Address",
    "AsyncClient",
    "CannotConnect",
    "Change",
    "Client",
    "Connection",
    "ConnectionLost",
    "Created",
    "Credentials",
    "Gap",
    "NotApplied",
    "Notice",
    "Outcome",
    "Page",
    "as_mapping",
    "parse_address",
]
