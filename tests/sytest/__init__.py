"""Runs SyTest, Matrix's black-box suite in Perl, against this project's server. The plug-in is in sytest-compat/."""
