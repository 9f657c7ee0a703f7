"""Pages of customers, orders and leads."""

from django.urls import path

from apps.crm.pages import customers, files, leads, orders

urlpatterns = [
    path("customers/", customers.show_customers, name="customers"),
    path("customers/new/", customers.add_customer, name="customer_new"),
    path("customers/import/", files.take_customers, name="customer_import"),
    path("customers/export/", files.send_customers, name="customer_export"),
    path("customers/<uuid:customer_id>/", customers.show_customer, name="customer"),
    path("customers/<uuid:customer_id>/edit/", customers.edit_customer, name="customer_edit"),
    path("customers/<uuid:customer_id>/erase/", customers.forget_customer, name="customer_erase"),
    path("orders/", orders.show_orders, name="orders"),
    path("orders/new/", orders.add_order, name="order_new"),
    path("orders/import/", files.take_orders, name="order_import"),
    path("orders/export/", files.send_orders, name="order_export"),
    path("orders/<uuid:order_id>/", orders.show_order, name="order"),
    path("orders/<uuid:order_id>/<str:action>/", orders.act, name="order_action"),
    path("leads/", leads.show_leads, name="leads"),
    path("leads/new/", leads.add_lead, name="lead_new"),
    path("leads/import/", files.take_leads, name="lead_import"),
    path("leads/export/", files.send_leads, name="lead_export"),
    path("leads/<uuid:lead_id>/", leads.show_lead, name="lead"),
    path("leads/<uuid:lead_id>/status/", leads.change_status, name="lead_status"),
]
