"""Settings shared by every environment; the only reader of environment variables."""

from pathlib import Path
from typing import Any

import environ

from aiaas.settings.locations import ROOT, read_dotenv
from aiaas.settings.sign_ins import build_providers

env = environ.Env()
read_dotenv()

SECRET_KEY = env.str("SECRET_KEY")
SECRET_KEY_FALLBACKS: list[str] = env.list("SECRET_KEY_FALLBACKS", default=[])
# The first one seals tenants' secrets, all of them open; SECRET_KEY and its fallbacks come after them.
SECRETS_KEYS: list[str] = env.list("SECRETS_KEYS", default=[])
DEBUG = False
ALLOWED_HOSTS: list[str] = env.list("ALLOWED_HOSTS", default=[])
PUBLIC_URL = env.str("PUBLIC_URL", default="http://localhost:8000")
REALTIME_URL = env.str("REALTIME_URL", default="ws://localhost:8001")
READY_FILE = env.str("READY_FILE", default="")
DATA_DIR = Path(env.str("AIAAS_DATA", default=str(ROOT / ".aiaas")))

SHARED_APPS = [
    "aiaas",  # first, so that its commands win over those of the libraries
    "apps.tenants",
    "django_tenants",
    "django.contrib.contenttypes",
    "django.contrib.auth",
    "django.contrib.sessions",
    "django.contrib.humanize",
    "django.contrib.messages",
    "unfold.apps.BasicAppConfig",  # before the admin, whose templates it replaces
    "aiaas.staff.apps.StaffAdminConfig",
    "django.contrib.staticfiles",
    "django.forms",
    "django_htmx",
    "allauth",
    "allauth.account",
    "allauth.mfa",
    "allauth.usersessions",
    "allauth.socialaccount",
    "allauth.socialaccount.providers.openid_connect",
    "django_prometheus",
    "rest_framework",
    "drf_spectacular",
    "drf_spectacular_sidecar",
    "channels",
    "workers",
    "apps.events",
    "apps.resilience",
    "apps.inference",
    "apps.billing",
    "apps.orchestration",
    "apps.gateway",
    "apps.realtime",
    "apps.accounts",
    "apps.analytics",
    "apps.webhooks",
]
TENANT_APPS = [
    "apps.crm",
    "apps.ingestion",
    "apps.routing",
    "apps.conversations",
    "apps.orchestration.definitions",
    "apps.orchestration.hooks",
    "apps.orchestration.mcp",
    "apps.orchestration.notices",
    "apps.orchestration.rehearsals",
]
INSTALLED_APPS = SHARED_APPS + TENANT_APPS
TENANT_DB_ALIAS = "owner"  # django-tenants makes and migrates schemas with the owner's connection
TENANT_MODEL = "tenants.Tenant"
TENANT_DOMAIN_MODEL = "tenants.Domain"
AUTH_USER_MODEL = "tenants.User"
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

MIDDLEWARE = [
    "django_prometheus.middleware.PrometheusBeforeMiddleware",
    "apps.gateway.middleware.request_context.RequestContextMiddleware",
    "apps.gateway.middleware.company_host.CompanyHostMiddleware",
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "apps.gateway.middleware.page_policy.PagePolicyMiddleware",
    "apps.gateway.middleware.input_guard.InputGuardMiddleware",
    "apps.gateway.middleware.cors.CorsMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "allauth.account.middleware.AccountMiddleware",
    "apps.accounts.sessions.SessionActivityMiddleware",
    "django_htmx.middleware.HtmxMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "apps.gateway.middleware.credentials.CredentialMiddleware",
    "apps.gateway.middleware.rate_limit.RateLimitMiddleware",
    "apps.gateway.middleware.idempotency.IdempotencyMiddleware",
    "apps.gateway.middleware.quota.QuotaMiddleware",
    "apps.gateway.middleware.tenant_reads.TenantReadMiddleware",
    "apps.gateway.middleware.keyed_writes.KeyedWriteMiddleware",
    "django_prometheus.middleware.PrometheusAfterMiddleware",
]
APPEND_SLASH = False  # the API's addresses end without one
ROOT_URLCONF = "aiaas.urls"
WSGI_APPLICATION = "aiaas.wsgi.application"
ASGI_APPLICATION = "aiaas.asgi.application"
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [ROOT / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
                "aiaas.navigation.navigation",
            ]
        },
    }
]
FORM_RENDERER = "django.forms.renderers.TemplatesSetting"  # so that templates/django/forms/ is ours

AUTHENTICATION_BACKENDS = ["allauth.account.auth_backends.AuthenticationBackend"]
LOGIN_URL = "account_login"
LOGIN_REDIRECT_URL = "/app/"
ACCOUNT_USER_MODEL_USERNAME_FIELD = None
ACCOUNT_LOGIN_METHODS = {"email"}
ACCOUNT_SIGNUP_FIELDS = ["email*", "password1*"]
ACCOUNT_ADAPTER = "apps.accounts.adapter.PublicAdapter"
ACCOUNT_FORMS = {"login": "apps.accounts.login.LoginForm"}
ACCOUNT_SIGNUP_FORM_CLASS = "apps.accounts.forms.SignUpFields"
ACCOUNT_SIGNUP_REDIRECT_URL = "start"
# Whether a new address is proved before its account is made: so nobody learns from the sign-up who has one.
SIGN_UP_NEEDS_PROOF: bool | None = env.bool("SIGN_UP_NEEDS_PROOF", default=None)
ACCOUNT_EMAIL_VERIFICATION = "none"  # apps.accounts.addresses does it: nobody else can confirm, nothing waits
ACCOUNT_EMAIL_NOTIFICATIONS = True
ACCOUNT_REAUTHENTICATION_REQUIRED = True
# Proofs mailed to one address; letters about one address must not flood it, whoever asks for them.
ACCOUNT_RATE_LIMITS = {"confirm_email": "3/5m/key,10/d/key", "manage_email": "10/m/user"}
PASSWORD_RESET_TIMEOUT = 3600
ACCOUNT_LOGOUT_ON_PASSWORD_CHANGE = False
ALLAUTH_TRUSTED_PROXY_COUNT = env.int("TRUSTED_PROXY_COUNT", default=0)
MFA_ADAPTER = "apps.accounts.factors.adapter.SealingAdapter"
MFA_FORMS = {
    "authenticate": "apps.accounts.factors.forms.AuthenticateForm",
    "reauthenticate": "apps.accounts.factors.forms.ReauthenticateForm",
    "activate_totp": "apps.accounts.factors.forms.ActivateTotpForm",
    "add_webauthn": "apps.accounts.factors.forms.AddPasskeyForm",
    "edit_webauthn": "apps.accounts.factors.forms.RenamePasskeyForm",
    "authenticate_webauthn": "apps.accounts.factors.forms.AuthenticatePasskeyForm",
    "login_webauthn": "apps.accounts.factors.forms.LoginPasskeyForm",
    "reauthenticate_webauthn": "apps.accounts.factors.forms.ReauthenticatePasskeyForm",
}
MFA_SUPPORTED_TYPES = ["totp", "webauthn", "recovery_codes"]
MFA_PASSKEY_LOGIN_ENABLED = True
MFA_RECOVERY_CODES_SHOW_ONCE = True
MFA_TOTP_ISSUER = "AIaaS"
MFA_TOTP_TOLERANCE = 1  # a clock may be half a minute off
STAFF_REQUIRES_MFA = True
# Other sign-ins, as JSON: [{"id", "name", "issuer", "client_id", "client_secret", "trusts_email"}], see docs.
SOCIALACCOUNT_PROVIDERS = build_providers(env.json("OIDC_PROVIDERS", default=[]))
SOCIALACCOUNT_ADAPTER = "apps.accounts.oidc.adapter.CarefulAdapter"
SOCIALACCOUNT_FORMS = {"signup": "apps.accounts.oidc.forms.ProviderSignUpForm"}
SOCIALACCOUNT_AUTO_SIGNUP = False  # the company's name is asked for
SOCIALACCOUNT_EMAIL_AUTHENTICATION_AUTO_CONNECT = True
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": f"django.contrib.auth.password_validation.{name}"}
    for name in ("MinimumLengthValidator", "CommonPasswordValidator", "UserAttributeSimilarityValidator")
]
# On a laptop mails are files in the data folder; an installation names its server in EMAIL_URL.
EMAIL_CONFIG = env.email_url("EMAIL_URL", default=f"filemail:///{DATA_DIR.absolute()}/mail")
EMAIL_BACKEND = EMAIL_CONFIG["EMAIL_BACKEND"]
EMAIL_FILE_PATH = EMAIL_CONFIG["EMAIL_FILE_PATH"]
EMAIL_HOST, EMAIL_PORT = EMAIL_CONFIG["EMAIL_HOST"], EMAIL_CONFIG["EMAIL_PORT"]
EMAIL_HOST_USER, EMAIL_HOST_PASSWORD = EMAIL_CONFIG["EMAIL_HOST_USER"], EMAIL_CONFIG["EMAIL_HOST_PASSWORD"]
EMAIL_USE_TLS = EMAIL_CONFIG.get("EMAIL_USE_TLS", False)
EMAIL_USE_SSL = EMAIL_CONFIG.get("EMAIL_USE_SSL", False)
EMAIL_TIMEOUT = 10
DEFAULT_FROM_EMAIL = env.str("EMAIL_FROM", default="AIaaS <no-reply@localhost>")
ACCOUNT_LOGOUT_REDIRECT_URL = "account_login"
ACCOUNT_EMAIL_SUBJECT_PREFIX = ""

# How many days a new company may try a paid plan's limits; 0 puts it on the default plan at once.
TRIAL_DAYS = env.int("TRIAL_DAYS", default=14)
# How long a company that is to be deleted can still change its mind.
TENANT_DELETION_GRACE_DAYS = env.int("TENANT_DELETION_GRACE_DAYS", default=30)
# Archives of companies wait here to be fetched: one folder for every process, whichever machine it is on.
EXPORT_DIR = Path(env.str("EXPORT_DIR", default=str(DATA_DIR / "exports")))

# Three roles, three connections: the application's own, the platform's (works across tenants
# through named policies) and the owner's (migrates and makes schemas, nothing else).
DB_POOL_SIZE = env.int("DB_POOL_SIZE", default=8)


# What a connection's server process remembers of tenants' tables (about 35 kB each) is freed with it alone.
DB_CONNECTION_TABLES = env.int("DB_CONNECTION_TABLES", default=3500)
DB_CONNECTION_LIFETIME_S = env.float("DB_CONNECTION_LIFETIME_S", default=1800)
REPLICA_TIMEOUT_S = env.float("REPLICA_TIMEOUT_S", default=1.0)


def _database(variable: str, *, pooled: bool, timeout_s: float = 10) -> dict[str, Any]:
    config: dict[str, Any] = env.db_url(variable)
    config["ENGINE"] = "apps.tenants.db"
    config["DISABLE_SERVER_SIDE_CURSORS"] = True  # they would not survive PgBouncer in transaction mode
    if pooled:
        pool = {"min_size": 0, "max_size": DB_POOL_SIZE, "timeout": timeout_s}
        config["OPTIONS"] = {"pool": pool | {"max_lifetime": DB_CONNECTION_LIFETIME_S}}
    return config


def _replica() -> dict[str, Any]:
    """A copy that is only read, as the application's role."""
    config = _database("REPLICA_URL", pooled=True, timeout_s=REPLICA_TIMEOUT_S)
    config["OPTIONS"]["options"] = "-c default_transaction_read_only=on"
    config["TEST"] = {"MIRROR": "default"}
    return config


DATABASES = {
    "default": _database("DATABASE_URL", pooled=True),
    "platform": _database("DATABASE_PLATFORM_URL", pooled=True),
    "owner": _database("DATABASE_OWNER_URL", pooled=False),
}
if env.str("REPLICA_URL", default=""):
    DATABASES["replica"] = _replica()
DATABASE_ROUTERS = ["apps.tenants.routers.OwnerMigrates", "django_tenants.routers.TenantSyncRouter"]

REDIS_URL = env.str("REDIS_URL")
NATS_URL = env.str("NATS_URL")
CACHES = {"default": {"BACKEND": "apps.resilience.cache.SteadyCache", "LOCATION": REDIS_URL}}
CHANNEL_LAYERS: dict[str, dict[str, Any]] = {
    "default": {
        "BACKEND": "channels_redis.pubsub.RedisPubSubChannelLayer",
        "CONFIG": {"hosts": [REDIS_URL], "prefix": "aiaas"},
    }
}
CELERY_BROKER_URL = REDIS_URL
CELERY_TASK_IGNORE_RESULT = True
CELERY_TASK_ACKS_LATE = False
CELERY_BROKER_CONNECTION_RETRY_ON_STARTUP = True
# A hint to a broker that is away must not keep its writer waiting.
# Without max_retries kombu tries to reach a broker that is away for ever, in the middle of the request.
CELERY_BROKER_TRANSPORT_OPTIONS = {"socket_connect_timeout": 1, "socket_timeout": 30, "max_retries": 0}
CELERY_WORKER_HIJACK_ROOT_LOGGER = False

DEMO_PAGES = env.bool("DEMO_PAGES", default=False)
DOMAIN_PROOF = "apps.tenants.domains.well_known.find_proof"  # how a company's own domain is proven
EVENT_SUBSCRIPTIONS = "aiaas.subscriptions"
RUN_DOORWAY = "apps.orchestration.adapters.doorway.EngineDoorway"
PERSONAL_DATA_MASK = "aiaas.observability.redaction.redact_value"
RUN_SLOTS = env.int("RUN_SLOTS", default=8)  # runs that a worker process executes at once
RUN_EVENTS_KEPT_DAYS = env.int("RUN_EVENTS_KEPT_DAYS", default=400)
PUBLISH_GATE = "apps.orchestration.rehearsals.gate.require_passed"
RUN_HINT = "apps.orchestration.adapters.celery_hint.CeleryHint"
DELTA_SINKS = [
    "apps.orchestration.adapters.channels_deltas.ChannelsDeltas",
    "apps.gateway.openai.deltas.LocalDeltas",
]
GROUP_SENDER = "apps.realtime.hints.sender"
VISITOR_LIMITER = "apps.gateway.visitors.take_of_each"
# What tools, webhooks and fetched pages may call beyond public addresses: host, host:port, IP or CIDR.
OUTBOUND_ALLOW: list[str] = env.list("OUTBOUND_ALLOW", default=[])
OUTBOUND_PORTS = [int(port) for port in env.list("OUTBOUND_PORTS", default=["80", "443"])]
SLACK_API_URL = env.str("SLACK_API_URL", default="https://slack.com/api")

OPENAI_API_KEY = env.str("OPENAI_API_KEY", default="")
OPENAI_BASE_URL = env.str("OPENAI_BASE_URL", default="")
CHAT_MODEL_SMALL = env.str("CHAT_MODEL_SMALL", default="gpt-4o-mini")
CHAT_MODEL_LARGE = env.str("CHAT_MODEL_LARGE", default="gpt-4o")
EMBEDDING_MODEL = env.str("EMBEDDING_MODEL", default="")
EMBEDDER_THREADS = env.int("EMBEDDER_THREADS", default=1)
# US dollars for a million tokens, [prompt, completion], by model: added to the price book in apps/inference.
MODEL_PRICES: dict[str, tuple[str, str]] = env.json("MODEL_PRICES", default={})
# What rehearsals may spend on models, and how many inputs they may take, for each tenant and day.
REHEARSAL_DAILY_MICROUSD = env.int("REHEARSAL_DAILY_MICROUSD", default=5_000_000)
REHEARSAL_DAILY_CASES = env.int("REHEARSAL_DAILY_CASES", default=2000)
DOCUMENT_MAX_BYTES = env.int("DOCUMENT_MAX_BYTES", default=20 * 1024 * 1024)
OTEL_EXPORTER_OTLP_ENDPOINT = env.str("OTEL_EXPORTER_OTLP_ENDPOINT", default="")

REST_FRAMEWORK = {
    "DEFAULT_SCHEMA_CLASS": "drf_spectacular.openapi.AutoSchema",
    "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
    "DEFAULT_PARSER_CLASSES": [
        "apps.gateway.parsers.LimitedJSONParser",
        "rest_framework.parsers.MultiPartParser",
    ],
    "DEFAULT_AUTHENTICATION_CLASSES": ["apps.gateway.authentication.CredentialAuthentication"],
    "DEFAULT_PERMISSION_CLASSES": ["apps.gateway.authentication.HasRequiredScope"],
    "DEFAULT_PAGINATION_CLASS": "apps.gateway.pagination.CursorPages",
    "EXCEPTION_HANDLER": "apps.gateway.problems.handle_exception",
    "UNAUTHENTICATED_USER": None,
    "URL_FORMAT_OVERRIDE": None,
    "PAGE_SIZE": 50,
}
SPECTACULAR_SETTINGS = {
    "TITLE": "AIaaS API",
    "VERSION": "1.0.0",
    "DESCRIPTION": "Customer support, order management and lead capture with AI.",
    "SERVE_INCLUDE_SCHEMA": False,
    "SERVE_AUTHENTICATION": [],
    "SERVE_PERMISSIONS": ["rest_framework.permissions.AllowAny"],
    "POSTPROCESSING_HOOKS": [
        "drf_spectacular.hooks.postprocess_schema_enums",
        "apps.gateway.schema.document_operations",
    ],
    "SWAGGER_UI_DIST": "SIDECAR",
    "SWAGGER_UI_FAVICON_HREF": "SIDECAR",
    "REDOC_DIST": "SIDECAR",
    "COMPONENT_SPLIT_REQUEST": True,
    "ENUM_NAME_OVERRIDES": {
        "OrderStatusEnum": "apps.crm.api.orders.STATUSES",
        "LeadStatusEnum": "apps.crm.api.leads.STATUSES",
        "ConversationStatusEnum": "apps.conversations.api.shapes.CONVERSATION_STATUSES",
        "EscalationStatusEnum": "apps.conversations.api.shapes.ESCALATION_STATUSES",
        "ChannelEnum": "apps.conversations.api.shapes.CHANNELS",
        "RunStatusEnum": "apps.orchestration.api.runs.STATUSES",
        "StepStateEnum": "apps.orchestration.api.runs.STEP_STATES",
        "WorkflowVersionStateEnum": "apps.orchestration.api.workflows.STATES",
        "AuthorEnum": "apps.conversations.api.shapes.AUTHORS",
        "WebhookEndpointStateEnum": "apps.webhooks.api.STATES",
        "WebhookDeliveryStatusEnum": "apps.webhooks.api.DELIVERY_STATUSES",
        "WebhookAttemptOutcomeEnum": "apps.webhooks.api.OUTCOMES",
    },
}

UNFOLD = {
    "SITE_TITLE": "AIaaS staff",
    "SITE_HEADER": "AIaaS staff",
    "SITE_URL": "/app/",
    "SHOW_HISTORY": False,
    "BORDER_RADIUS": "8px",
    "SIDEBAR": {
        "show_search": False,
        "show_all_applications": False,
        "navigation": "aiaas.staff.menu.sections",
    },
}

LANGUAGE_CODE = "en"
TIME_ZONE = "UTC"
USE_TZ = True
STATIC_URL = "/static/"
STATIC_ROOT = ROOT / "static"
DATA_UPLOAD_MAX_MEMORY_SIZE = 2 * 1024 * 1024
HOOK_BODY_MAX_BYTES = 256 * 1024
MAX_UPLOAD_BYTES = env.int("MAX_UPLOAD_BYTES", default=32 * 1024 * 1024)

# Threads of the web process; a request gets one once its body has come, which may take so long and no longer.
WEB_THREADS = env.int("WEB_THREADS", default=32)
BODY_GRACE_S = env.float("BODY_GRACE_S", default=10.0)
BODY_MIN_BYTES_S = env.int("BODY_MIN_BYTES_S", default=16 * 1024)
SEND_TIMEOUT_S = env.float("SEND_TIMEOUT_S", default=30.0)

TRUSTED_PROXY_COUNT = env.int("TRUSTED_PROXY_COUNT", default=0)
ANONYMOUS_PER_MINUTE = env.int("ANONYMOUS_PER_MINUTE", default=120)
LOGINS_PER_MINUTE = env.int("LOGINS_PER_MINUTE", default=20)
USER_PER_MINUTE = env.int("USER_PER_MINUTE", default=600)
ADDRESS_PER_MINUTE = env.int("ADDRESS_PER_MINUTE", default=30_000)
PAGES_PER_MINUTE = env.int("PAGES_PER_MINUTE", default=3000)
# Graphs that workflows may run: name -> dotted path, or {"path": …, "idempotent": true}.
LANGGRAPH_GRAPHS: dict[str, Any] = env.json("LANGGRAPH_GRAPHS", default={})
CHAT_COMPLETION_WAIT_S = env.float("CHAT_COMPLETION_WAIT_S", default=60.0)
AUDIT_KEPT_DAYS = env.int("AUDIT_KEPT_DAYS", default=1095)
IDEMPOTENCY_LEASE_S = env.int("IDEMPOTENCY_LEASE_S", default=120)

# Whether a proxy in front ends TLS and sets X-Forwarded-Proto itself, whatever a client sent.
BEHIND_TLS_PROXY = env.bool("BEHIND_TLS_PROXY", default=True)
CSRF_TRUSTED_ORIGINS: list[str] = env.list("CSRF_TRUSTED_ORIGINS", default=[])
SECURE_REFERRER_POLICY = "strict-origin-when-cross-origin"
METRICS_TOKEN = env.str("METRICS_TOKEN", default="")

SERVICE_NAME = env.str("OTEL_SERVICE_NAME", default="aiaas")
LOGGING_CONFIG = "aiaas.observability.logging.configure_logging"
LOGGING = {"format": env.str("LOG_FORMAT", default="json"), "level": env.str("LOG_LEVEL", default="INFO")}
