"""The bodies of ops 44 and 45: a new token before the old one expires."""

from imd.protocol.json_body import JsonBody


class Refresh(JsonBody, frozen=True):
    """Op 44."""

    token: str  # a JWT of the same member


class RefreshReply(JsonBody, frozen=True):
    """Op 45: it is good."""

    expires_at_ms: int = 0  # ms since the epoch, when the connection ends without another one; 0 = never
