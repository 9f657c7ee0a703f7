"""What each type of step does; tools are in `apps.orchestration.tools`."""
