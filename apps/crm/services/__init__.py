"""Write customers, orders and leads."""

from apps.crm.erasing import erase_customer, find_customer_id
from apps.crm.services.changes import change_customer, restore_customer, tag_customer
from apps.crm.services.customers import (
    create_customer,
    delete_customer,
    find_or_create_customer,
    keep_stated_customer,
    update_customer,
)
from apps.crm.services.imports import import_customers, import_leads, import_orders
from apps.crm.services.leads import capture_lead, delete_lead, update_lead
from apps.crm.services.order_actions import (
    cancel_order,
    deliver_order,
    hold_order,
    refund_order,
    reinstate_order,
    release_order,
    ship_order,
)
from apps.crm.services.orders import create_order, delete_order, update_order

__all__ = [
    "cancel_order",
    "capture_lead",
    "change_customer",
    "create_customer",
    "create_order",
    "delete_customer",
    "delete_lead",
    "delete_order",
    "deliver_order",
    "erase_customer",
    "find_customer_id",
    "find_or_create_customer",
    "hold_order",
    "import_customers",
    "import_leads",
    "import_orders",
    "keep_stated_customer",
    "refund_order",
    "reinstate_order",
    "release_order",
    "restore_customer",
    "ship_order",
    "tag_customer",
    "update_customer",
    "update_lead",
    "update_order",
]
