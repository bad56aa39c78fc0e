# TAP that also says which file the tests come from: their names alone are not unique.

use strict;
use warnings;

require SyTest::Output::TAP;

package SyTest::Output::TapWithFiles;
use base qw( SyTest::Output::TAP );

use constant FORMAT => "tap-with-files";

sub run_file
{
   my $class = shift;
   my ( $filename ) = @_;

   print "# File: $filename\n";
   $class->SUPER::run_file( $filename );
}

1;
