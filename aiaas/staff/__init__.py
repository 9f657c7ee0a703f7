"""The platform staff's admin at /admin/; each page joins facts of several apps, hence its place above them.

It reads across tenants through the platform's role, which named policies admit to the tables it shows; what
it changes goes through services in the context of the one tenant concerned, audited there.
"""
