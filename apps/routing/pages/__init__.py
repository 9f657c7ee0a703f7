"""Pages of the router; its decisions are shown by conversations, which keep them."""

from django.urls import path

from apps.routing.pages import intents, overview, trainings

INTENT = "router/intents/<slug:name>/"
EXAMPLE = "router/examples/<uuid:example_id>/"
TRAINING = "router/trainings/<uuid:training_id>/"

urlpatterns = [
    path("router/", overview.show_router, name="router"),
    path("router/adopt/", intents.adopt_intents, name="router_adopt"),
    path("router/train/", trainings.train, name="router_train"),
    path(TRAINING, trainings.show_training, name="router_training"),
    path(f"{TRAINING}use/", trainings.use, name="router_use_candidate"),
    path(f"{TRAINING}discard/", trainings.discard, name="router_discard_candidate"),
    path("router/models/shipped/use/", trainings.use_shipped, name="router_use_shipped"),
    path("router/models/<uuid:model_id>/use/", trainings.use_version, name="router_use_version"),
    path("router/intents/", intents.show_intents, name="router_intents"),
    path(INTENT, intents.show_intent, name="router_intent"),
    path(f"{INTENT}edit/", intents.edit_intent, name="router_edit_intent"),
    path(f"{INTENT}delete/", intents.remove_intent, name="router_delete_intent"),
    path("router/examples/restore/", intents.restore, name="router_restore_example"),
    path(EXAMPLE, intents.edit_example, name="router_example"),
    path(f"{EXAMPLE}delete/", intents.remove_example, name="router_delete_example"),
]
