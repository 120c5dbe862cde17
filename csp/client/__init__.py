"""A client of csp servers, blocking and for asyncio; csp.client.objects has the objects' types."""

from csp.client.address import Address, parse_address
from csp.client.async_client import AsyncClient, AsyncSubscription, AsyncTransaction
from csp.client.client import Client, Subscription, Transaction
from csp.client.connection import Connection
from csp.client.core import Credentials
from csp.client.kerberos import Kerberos
from csp.client.problems import CannotConnect, ConnectionLost, NotApplied, NoTicket
from csp.client.results import Created, Inherited, Outcome, Page, Permissions
from csp.client.session import Session
from csp.client.shape import Delta, Object, Sections
from csp.client.subscription import Change, Gap, Notice
from csp.client.values import Handle, as_mapping
from csp.secure import CannotSecure, Tls

__all__ = [
    "Address",
    "AsyncClient",
    "AsyncSubscription",
    "AsyncTransaction",
    "CannotConnect",
    "CannotSecure",
    "Change",
    "Client",
    "Connection",
    "ConnectionLost",
    "Created",
    "Credentials",
    "Delta",
    "Gap",
    "Handle",
    "Inherited",
    "Kerberos",
    "NoTicket",
    "NotApplied",
    "Notice",
    "Object",
    "Outcome",
    "Page",
    "Permissions",
    "Sections",
    "Session",
    "Subscription",
    "Tls",
    "Transaction",
    "as_mapping",
    "parse_address",
]
