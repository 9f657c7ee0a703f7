from django.apps import AppConfig


class AccountsConfig(AppConfig):
    name = "apps.accounts"
    label = "accounts"

    def ready(self) -> None:
        """Have the audit trail listen to what happens at the door."""
        from apps.accounts.trail import connect_trail

        connect_trail()
