"""RESP2 and RESP3 in pure Python: values, encoder, incremental decoder; no input or output."""

from csp.resp.decode import MORE, Decoder, ProtocolError
from csp.resp.encode import encode, error, request
from csp.resp.values import ErrorReply, Push, Simple, Value, Verbatim

__all__ = [
    "MORE",
    "Decoder",
    "ErrorReply",
    "ProtocolError",
    "Push",
    "Simple",
    "Value",
    "Verbatim",
    "encode",
    "error",
    "request",
]
