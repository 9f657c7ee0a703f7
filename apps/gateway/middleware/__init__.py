"""What every request passes, outermost first; settings.MIDDLEWARE holds the order.

request_context  an id, the log's context, a span and a duration for every request
company_host     which company's own domain was asked, if any
input_guard      refuses what no view should have to think about: NUL characters, huge bodies
credentials      who is calling, and hence for which tenant
rate_limit       a token from the tenant's bucket, or 429
idempotency      the remembered answer of a repeated write
quota            402 for what the plan does not include any more
tenant_reads     one transaction around a read
keyed_writes     one transaction around a write with an Idempotency-Key and its remembered answer
"""

from collections.abc import Callable

from django.http import HttpRequest, HttpResponse

GetResponse = Callable[[HttpRequest], HttpResponse]
