"""The layouts in which data sets lie on disk, a module each; `doors.LAYOUTS` names them."""
