"""Why a call to the outside did not come about; each says what its asker can do."""


class OutboundError(Exception):
    """No answer that could be used."""


class Refused(OutboundError):
    """This address, or what was to be sent there, is not allowed: a repeat changes nothing."""


class Unreachable(OutboundError):
    """The other side cannot be found, does not answer or answers nonsense; it may be well again later."""


class NotReached(Unreachable):
    """No connection came about: nothing was sent."""


class TimedOut(Unreachable):
    """The time for the whole call is over."""


class TooLarge(OutboundError):
    """The answer is longer than the caller takes, also when it comes compressed."""


class TooManyRedirects(OutboundError):
    """The answer leads from address to address."""
