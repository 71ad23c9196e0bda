"""Who a user is inside the system: a keyed hash. The id that a shop sends never goes past the planner."""

import hashlib
import hmac


def user_key(user_id: str, secret: bytes) -> str:
    """Keyed hash (HMAC-SHA-256, 128 bits, hex) of a shop's user id."""
    return hmac.new(secret, b"user:" + user_id.encode(), hashlib.sha256).hexdigest()[:32]
