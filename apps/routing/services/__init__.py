"""Route messages; teach the router; choose which version routes."""

from apps.routing.default_model import default_intents
from apps.routing.services.candidates import (
    discard_candidate,
    request_training,
    sweep_due_trainings,
    train_candidate,
    use_candidate,
)
from apps.routing.services.forgetting import forget_words
from apps.routing.services.routes import preview_route, route_message, warm_router
from apps.routing.services.teaching import (
    add_examples,
    create_intent,
    delete_example,
    delete_intent,
    list_intent_names,
    record_feedback,
    restore_example,
    seed_default_intents,
    update_example,
    update_intent,
)
from apps.routing.services.training import train_router, use_model, use_shipped_model

__all__ = [
    "add_examples",
    "create_intent",
    "default_intents",
    "delete_example",
    "delete_intent",
    "discard_candidate",
    "forget_words",
    "list_intent_names",
    "preview_route",
    "record_feedback",
    "request_training",
    "restore_example",
    "route_message",
    "seed_default_intents",
    "sweep_due_trainings",
    "train_candidate",
    "train_router",
    "update_example",
    "update_intent",
    "use_candidate",
    "use_model",
    "use_shipped_model",
    "warm_router",
]
