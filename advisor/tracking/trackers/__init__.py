"""One module per tracker, named as `--log` names it: `PACKAGE`, the module that it needs, and `start(run, identity)`."""
