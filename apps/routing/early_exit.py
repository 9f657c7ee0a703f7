"""Rules that hand a message to a person before any model is trusted."""

from __future__ import annotations

import re
from collections.abc import Sequence

REPEATS = 2

PERSON = (
    r"(?:(?:real|live|actual|human|customer)\s+)*"
    r"(?:human(?:\s+being)?(?![\w-]|\s+resources)|person|people|agent|representative|rep|operator|advis[eo]r|manager|"
    r"supervisor|employee|someone|somebody|colleague)\b"
)
ASKS_FOR_A_PERSON = re.compile(
    r"\b(?:talk|speak|chat|connect|transfer|forward|hand|put)(?:ing)?\s+(?:me\s+)?(?:(?:over|through|directly)\s+)?"
    rf"(?:to|with)\s+(?:an?\s+|the\s+|your\s+|some\s+|one\s+of\s+your\s+)?{PERSON}"
    r"|\b(?:want|need|get\s+me|give\s+me|prefer|rather\s+have)\s+(?:to\s+have\s+)?(?:an?\s+|some\s+)?"
    r"(?:(?:real|live|actual)\s+(?:human|person|people|agent)|human\s+(?:agent|being|support|help)|human(?![\w-]|\s+res))"
    r"|^\W*(?:(?:real|live)\s+)?(?:human|agent|operator|representative|person)(?:\s+please)?\W*$"
    r"|\bmit\s+(?:einem\s+|einer\s+)?(?:echten\s+)?(?:menschen|mitarbeiter(?:in)?)\b"
    r"|\bparler\s+(?:à|a|avec)\s+(?:une?\s+)?(?:vraie\s+)?(?:humain|personne|conseiller|agent)\b"
    r"|\bhablar\s+con\s+(?:una?\s+)?(?:persona|humano|agente|asesor)\b",
    re.IGNORECASE,
)
SALES = re.compile(r"\b(?:sales|demo|quote|quotation)\b", re.IGNORECASE)
THREATENS_LEGALLY = re.compile(
    r"\b(?:my|our|a)\s+(?:lawyer|attorney|solicitor)\b|\blegal\s+(?:action|proceedings|steps)\b"
    r"|\b(?:sue|suing)\s+(?:you|your)\b|\bi(?:'ll|\s+will|'m\s+going\s+to|\s+am\s+going\s+to)\s+sue\b"
    r"|\b(?:take|taking|see)\s+(?:you|this|it)\s+(?:to|in)\s+court\b|\bsmall\s+claims\b|\bpress\s+charges\b"
    r"|\breport(?:ing)?\s+(?:you|this|your\s+company)\s+to\b|\btrading\s+standards\b|\bombudsman\b",
    re.IGNORECASE,
)
IS_ANGRY = re.compile(
    r"\b(?:furious|outraged|livid|infuriating|fed\s+up|unacceptable|disgrace(?:ful)?|disgusted|shame\s+on\s+you|rip-?off|"
    r"scam(?:mers|med)?|bullshit|fuck\w*|pissed|you\s+people\s+are|sick\s+of\s+(?:you|your|this)|"
    r"worst\s+(?:company|service|support|experience|shop|app)|idiots)\b"
    r"|\b(?:i\s+am|i'm|im|we\s+are|we're|makes?\s+me|really|very|so|extremely)\s+(?:angry|mad|enraged)\b",
    re.IGNORECASE,
)
IS_IN_DANGER = re.compile(
    r"\b(?:kill|hurt|harm)(?:ing)?\s+myself\b|\bsuicid(?:e|al)\b|\bend\s+my\s+life\b", re.IGNORECASE
)


def find_early_exit(text: str, history: Sequence[str] = ()) -> str | None:
    """Say why a person must take over, or None; `history` holds the customer's earlier messages."""
    if IS_IN_DANGER.search(text):
        return "The customer may be in danger: a person must answer."
    if THREATENS_LEGALLY.search(text):
        return "The customer speaks of legal steps: a person must answer."
    if ASKS_FOR_A_PERSON.search(text) and not SALES.search(text):
        return "The customer asks for a person."
    if IS_ANGRY.search(text) or _shouts(text):
        return "The customer is angry: a person should answer."
    if _repeats(text, history):
        return "The customer has asked the same thing again and again: the answers did not help."
    return None


def _shouts(text: str) -> bool:
    letters = [letter for letter in text if letter.isalpha()]
    loud = sum(letter.isupper() for letter in letters)
    return "!!" in text and len(letters) >= 12 and loud / len(letters) > 0.8


def _repeats(text: str, history: Sequence[str]) -> bool:
    words = text.casefold().split()
    return len(words) > 1 and sum(words == earlier.casefold().split() for earlier in history) >= REPEATS
