"""Companies that were asked for: made, waiting or failed."""

from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import Http404, HttpRequest, HttpResponse
from django.urls import reverse

from aiaas.staff.forms import LogReasonForm
from aiaas.staff.reasons import log_act
from aiaas.staff.site import ReadOnlyAdmin, action, ask, display
from apps.accounts.models import SignUp
from apps.accounts.services import retry_sign_up


@admin.register(SignUp)
class SignUpAdmin(ReadOnlyAdmin):
    list_display = ("company", "slug", "user", "state", "attempts", "created_at")
    list_filter = ("status",)
    list_select_related = ("user",)
    search_fields = ("=slug", "company", "user__email")
    search_help_text = "A company's name or address, or a person's e-mail address"
    ordering = ("-id",)
    sortable_by = ()
    fields = ("company", "slug", "user", "time_zone", "status", "attempts", "error", "due_at", "created_at")
    readonly_fields = fields
    actions_detail = ["retry"]

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        return SignUp.objects.order_by("-id")

    @display(description="Status", label={"done": "success", "failed": "danger", "waiting": "warning"})
    def state(self, sign_up: SignUp) -> str:
        return sign_up.status

    @action(description="Try again…", url_path="retry", icon="replay", permissions=["retry"])
    def retry(self, request: HttpRequest, object_id: str) -> HttpResponse:
        sign_up = self.get_object(request, object_id)
        if sign_up is None:
            raise Http404("There is no such sign-up.")

        def again(reason: str) -> str:
            retry_sign_up(user_id=sign_up.user_id)
            log_act(request, sign_up, "Tried again", reason)
            return f"{sign_up.company} is being made."

        return ask(
            request,
            LogReasonForm,
            again,
            permission="accounts.change_signup",
            title=f"Make {sign_up.company} again",
            button="Try again",
            then=reverse("admin:accounts_signup_changelist"),
            context=self.admin_site.each_context(request),
        )

    def has_retry_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return request.user.has_perm("accounts.change_signup")
