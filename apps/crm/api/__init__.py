"""The doorway to customers, orders and leads."""

from rest_framework.routers import SimpleRouter

from apps.crm.api.customers import CustomerViewSet
from apps.crm.api.leads import LeadViewSet
from apps.crm.api.orders import OrderViewSet

router = SimpleRouter(trailing_slash=False, use_regex_path=False)
router.register("customers", CustomerViewSet, basename="customer")
router.register("orders", OrderViewSet, basename="order")
router.register("leads", LeadViewSet, basename="lead")

urlpatterns = router.urls
