"""A service that writes leaves a trace: it reaches `record_audit`, or says here why that is not needed."""

import ast
from functools import cache
from pathlib import Path

from django.conf import settings

ROOT = Path(settings.ROOT)
WRITES = {
    "create", "update", "save", "delete", "bulk_create", "bulk_update", "update_or_create", "get_or_create",
    "_raw_delete", "write_later", "insert_message_once",
}  # fmt: skip
RECORDS = {"record_audit", "record_for_person"}
Name = tuple[str, str]

# By reason: functions that write and record nothing.
NO_PRIVILEGED_ACTS = {
    "the conversation itself tells who did what, and when": """
        conversations.services.conversations: close_conversation open_conversation rate_conversation
            release_conversation start_conversation take_over_conversation
        conversations.services.corrections: correct_intent
        conversations.services.escalations: cancel_escalation claim_escalation hand_back_escalation
            open_escalation reassign_escalation reopen_escalation resolve_escalation
        conversations.services.introductions: introduce_visitor
        conversations.services.messages: post_reply receive_message send_agent_message
        conversations.services.notes: add_note
        conversations.services.suggestions: suggest_answer""",
    "daily work with customers, orders and leads, which events tell of": """
        crm.services.customers: create_customer find_or_create_customer keep_stated_customer update_customer
        crm.services.changes: change_customer restore_customer tag_customer
        crm.services.leads: capture_lead update_lead
        crm.services.orders: create_order update_order
        ingestion.questions: dismiss_group reopen_group
        routing.services.teaching: record_feedback""",
    "a run has a journal of its own, and so has an order": """
        crm.services.order_actions: cancel_order deliver_order hold_order refund_order reinstate_order
            release_order ship_order
        orchestration.dispatching: execute_claimed
        orchestration.services: create_run execute_or_await execute_run start_run
        orchestration.triggers: start_scheduled_run start_triggered_runs
        orchestration.rehearsals.services: dry_run
        orchestration.hooks.doorway: receive_delivery""",
    "nobody's act: workers compute, mail, sweep and purge": """
        analytics.checking: check_kpis
        analytics.rebuilding: rebuild
        analytics.reporting: mail_weekly_report
        analytics.selectors: list_rows read_kpis sum_measures
        analytics.services: check_figures rebuild_read_models settle_silences
        analytics.tables: read_agents read_groups
        billing.services.alerts: check_quotas mail_quota_alerts note_usage
        billing.services.checks: check_draft
        billing.services.quotas: hold_quota release_quota settle_quota
        billing.services.usage: record_usage record_usages
        billing.services.invoices: finalise_invoices
        billing.services.trials: follow_trial
        billing.selectors.invoices: get_draft list_changed_invoices rate_again
        billing.selectors.plans: list_offers preview_plan_change
        conversations.services.mails: mail_escalations
        ingestion.claims: claim_document
        ingestion.questions: group_questions
        ingestion.services: process_document purge_deleted_documents sweep_due_documents
        orchestration.hooks.services: purge_deliveries
        orchestration.notices.services: ask_for_notice send_slack_notices
        orchestration.rehearsals.claims: claim_rehearsal
        orchestration.rehearsals.services: purge_rehearsals run_simulation sweep_due_simulations
        routing.claims: claim_training
        routing.services.candidates: sweep_due_trainings train_candidate
        routing.services.teaching: seed_default_intents
        tenants.notices: tell_owners
        tenants.services: note_widget_embedded
        webhooks.services.deliveries: purge_deliveries
        webhooks.services.notices: mail_notices""",
    "recorded once as a whole, with its counts, when it ends": """
        orchestration.bulk.services: request_bulk""",
    "a part of an erasure, which is recorded as a whole": """
        analytics.erasing: erase_traces
        conversations.erasing: erase_traces
        crm.erasing: erase_traces
        ingestion.erasing: erase_traces
        orchestration.erasing: erase_traces
        orchestration.rehearsals.erasing: erase_traces
        realtime.erasing: erase_traces
        routing.services.forgetting: forget_words""",
    "the operator's, of every tenant at once: it changes how secrets are kept, and none of them": """
        tenants.resealing: reseal_secrets""",
    "the caller records it, with the reason: the staff's admin, or a command": """
        billing.services.subscriptions: begin_billing_on subscribe_tenant""",
    "one's own name and mails, or the trail itself": """
        tenants.audit: record_audit
        tenants.company: update_profile""",
}
HOW = (
    "These services write and leave no audit event: call apps.tenants.services.record_audit in their "
    "transaction (what was before and after in `data`), or name them with a reason in NO_PRIVILEGED_ACTS"
)


class Function:
    """What one function calls, and whether it writes by itself."""

    def __init__(self, module: str, node: ast.FunctionDef, imports: dict[str, Name]) -> None:
        self.calls: set[Name] = set()
        self.has_writes = False
        self.is_of_a_tenant = any(argument.arg == "tenant" for argument in node.args.kwonlyargs)
        for call in (found for found in ast.walk(node) if isinstance(found, ast.Call)):
            if isinstance(call.func, ast.Name):
                self.has_writes = self.has_writes or call.func.id in WRITES
                self.calls.add(imports.get(call.func.id, (module, call.func.id)))
            elif isinstance(call.func, ast.Attribute):
                self.has_writes = self.has_writes or call.func.attr in WRITES
                owner = imports.get(call.func.value.id) if isinstance(call.func.value, ast.Name) else None
                if owner:
                    self.calls.add((".".join(owner), call.func.attr))


@cache
def functions() -> dict[Name, Function]:
    found: dict[Name, Function] = {}
    for path in sorted((ROOT / "apps").rglob("*.py")):
        if "migrations" in path.parts:
            continue
        module = ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
        tree = ast.parse(path.read_text())
        imports = {
            alias.asname or alias.name: (node.module, alias.name)
            for node in ast.walk(tree)
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("apps.")
            for alias in node.names
        }
        nodes = [node for node in tree.body if isinstance(node, ast.FunctionDef)]
        found |= {(module, node.name): Function(module, node, imports) for node in nodes}
    return found


def reached(name: Name) -> set[Name]:
    """Return the function and everything of ours that it calls, however far away."""
    seen: set[Name] = set()
    waiting = [name]
    while waiting:
        now = waiting.pop()
        if now not in seen:
            seen.add(now)
            known = functions().get(now)
            waiting += known.calls if known else ()
    return seen


def silent_writers() -> set[str]:
    found = set()
    for name, function in functions().items():
        if name[1].startswith("_") or not function.is_of_a_tenant:
            continue
        calls = reached(name)
        has_writes = any(functions()[call].has_writes for call in calls if call in functions())
        if has_writes and not any(call[1] in RECORDS for call in calls):
            found.add(".".join(name).removeprefix("apps."))
    return found


def excused() -> set[str]:
    names = set()
    for text in NO_PRIVILEGED_ACTS.values():
        module = ""
        for word in text.split():
            if word.endswith(":"):
                module = word[:-1]
            else:
                names.add(f"{module}.{word}")
    return names


def test_every_service_that_writes_leaves_a_trace_or_says_why_not():
    assert silent_writers() - excused() == set(), HOW


def test_no_excuse_outlives_its_reason():
    journal = {
        name for name in excused() if name.startswith("crm.services.order_actions.")
    }  # a refund is recorded
    assert excused() - silent_writers() - journal - {"tenants.audit.record_audit"} == set()


def test_the_walk_sees_what_a_service_does():
    assert ("apps.tenants.services", "record_audit") in reached(("apps.tenants.members", "change_role"))
    assert functions()["apps.tenants.members", "change_role"].has_writes
