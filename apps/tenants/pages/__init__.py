"""Pages about the company itself: its team, settings and audit trail, and which company one looks at."""

from django.urls import path

from apps.tenants.pages.api_keys import drop_key, list_keys, renew_key
from apps.tenants.pages.audit import export_audit, list_audit
from apps.tenants.pages.company import edit_profile, edit_settings, require_second_step
from apps.tenants.pages.deletion import delete_company, keep_company
from apps.tenants.pages.domains import check_domain, drop_domain, list_domains
from apps.tenants.pages.exports import fetch_export, list_exports
from apps.tenants.pages.switching import choose_tenant, leave_tenant
from apps.tenants.pages.team import (
    change_member,
    drop_invitation,
    drop_member,
    leave,
    return_member,
    show_team,
)

urlpatterns = [
    path("choose-tenant/", choose_tenant, name="choose_tenant"),
    path("leave-tenant/", leave_tenant, name="leave_tenant"),
    path("team/", show_team, name="team"),
    path("team/leave/", leave, name="leave_company"),
    path("team/restore/", return_member, name="restore_member"),
    path("team/members/<uuid:membership_id>/role/", change_member, name="change_role"),
    path("team/members/<uuid:membership_id>/remove/", drop_member, name="remove_member"),
    path("team/invitations/<uuid:invitation_id>/revoke/", drop_invitation, name="revoke_invitation"),
    path("api-keys/", list_keys, name="api_keys"),
    path("api-keys/<str:key_id>/rotate/", renew_key, name="rotate_api_key"),
    path("api-keys/<str:key_id>/revoke/", drop_key, name="revoke_api_key"),
    path("settings/", edit_settings, name="settings"),
    path("settings/second-step/", require_second_step, name="require_second_step"),
    path("settings/domains/", list_domains, name="domains"),
    path("settings/domains/<uuid:domain_id>/check/", check_domain, name="check_domain"),
    path("settings/domains/<uuid:domain_id>/remove/", drop_domain, name="remove_domain"),
    path("settings/delete/", delete_company, name="delete_company"),
    path("settings/delete/cancel/", keep_company, name="keep_company"),
    path("profile/", edit_profile, name="profile"),
    path("exports/", list_exports, name="exports"),
    path("exports/<uuid:export_id>/", fetch_export, name="fetch_export"),
    path("audit/", list_audit, name="audit"),
    path("audit/export/", export_audit, name="audit_export"),
]
