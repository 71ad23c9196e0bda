"""What people write in feeds for numbers and prices. Pure."""

import math
import re

_NUMBER = re.compile(r"[+-]?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?")
_PRICE = re.compile(r"(?:[A-Z]{3}|[^\w\s.,'-]{1,3})?\s*(-?\d[\d.,'\s\u00a0\u202f]*)\s*(?:[A-Z]{3}|[^\w\s.,'-]{1,3})?")
_GROUPED = re.compile(r"\d{1,3}(?:[.,' ]\d{3})+")


def number_of(text: str) -> float | None:
    """The number that a text is, or None; nothing around it but blanks."""
    stripped = text.strip()
    return float(stripped) if _NUMBER.fullmatch(stripped) else None


def amount_of(text: str) -> float | None:
    """The amount of a price: "49.95", "49,95 €", "1.299,00 EUR", "$1,299"; None for what is none.

    The last point or comma with one or two digits after it starts the cents; before groups of three digits it only groups.
    """
    found = _PRICE.fullmatch(text.strip())
    if found is None:
        return None
    digits = re.sub(r"[\s\u00a0\u202f]", " ", found.group(1)).strip()
    whole, cents = digits, ""
    if split := re.fullmatch(r"(.*?)[.,](\d{1,2})", digits):
        whole, cents = split.groups()
    elif plain := number_of(digits):  # "1299.125": a computer's number, not a person's
        return plain
    if not (whole.lstrip("-").isdigit() or _GROUPED.fullmatch(whole.lstrip("-"))):
        return None
    amount = float(f"{re.sub(r'[^0-9-]', '', whole)}.{cents or '0'}")
    return amount if math.isfinite(amount) else None
