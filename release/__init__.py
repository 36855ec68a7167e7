"""What makes a release: locks, image, bill of materials, licences, audit. Nothing of it is shipped in the wheel."""
