"""Greetings, thanks and goodbyes: what a polite person answers without looking anything up."""

import re

KINDS = {
    "human": r"(?:can i|i want to|i'd like to|let me|please)?\s*(?:talk|speak|chat)\s(?:to|with) "
    r"(?:a |an |some)?\s*(?:human|person|agent|someone|one|representative|real person)(?: please)?",
    "identity": r"(?:who|what) are you|are you (?:a |an )?"
    r"(?:bot|robot|human|person|ai|real|machine)(?: or .*)?",
    "help": r"(?:can you |could you |please )?help(?: me)?(?: please)?"
    r"|what can you do(?: for me)?|i need (?:some )?help",
    "thanks": r"(?:ok(?:ay)?|great|perfect|cool|awesome|super)?\s*(?:many |no )?"
    r"(?:thanks?|thank you|thx|ty|cheers|danke|merci|gracias|grazie|obrigad[oa])"
    r"(?: you)?(?: (?:so|very) much| a lot| for (?:your|the) help| again)?",
    "goodbye": r"(?:good ?)?bye(?: bye)?|see (?:you|ya)(?: later)?"
    r"|have a (?:nice|good|great) (?:day|one|evening)|tsch[uü]ss|ciao",
    "greeting": r"(?:hi|hello|hey|howdy|yo|hallo|hola|bonjour|salut|ciao)(?: there| all| everyone| team)?"
    r"|good (?:morning|afternoon|evening|day)|how are you(?: doing)?(?: today)?|what'?s up",
    "praise": r"(?:ok(?:ay)?|great|perfect|nice|cool|awesome|good|got it"
    r"|understood|alright|fine|sounds good)",
}
REPLIES = {
    "human": "Of course. I will pass this conversation on to a colleague. What should they know?",
    "identity": "I am the automatic assistant here. "
    "I answer from our help pages and your orders, and a colleague can take over.",
    "help": "Gladly. Ask me about our products, your order or your account. "
    "An order number helps me to find your order.",
    "thanks": "You're welcome! Is there anything else I can help you with?",
    "goodbye": "Goodbye, and thank you for writing to us!",
    "greeting": "Hello! How can I help you today?",
    "praise": "Glad to hear it. Is there anything else I can help you with?",
}
PATTERNS = {kind: re.compile(pattern) for kind, pattern in KINDS.items()}
OPENING = re.compile(r"^(?:hi|hello|hey|thanks|thank you|ok(?:ay)?)[\s,]+")


def answer_smalltalk(text: str) -> str | None:
    """Return a reply when the text is nothing but small talk."""
    plain = re.sub(r"[^\w\s']+", " ", text.casefold())
    plain = " ".join(plain.split())
    for candidate in (plain, OPENING.sub("", plain)):
        for kind, pattern in PATTERNS.items():
            if pattern.fullmatch(candidate):
                return REPLIES[kind]
    return None
