"""Puts our site in the place of Django's."""

from django.contrib.admin.apps import AdminConfig


class StaffAdminConfig(AdminConfig):
    default_site = "aiaas.staff.site.StaffSite"
