# What `-I Columba` means to SyTest. How one server is configured and started is in ../Homeserver/Columba.pm.

use strict;
use warnings;

# Here and not later: SyTest has this folder on @INC only while it reads this file.
require SyTest::Homeserver::Columba;

package SyTest::HomeserverFactory::Columba;
use base qw( SyTest::HomeserverFactory );

sub _init
{
   my $self = shift;

   $self->{python} = "python3";
   $self->{database_urls} = [];

   $self->SUPER::_init( @_ );
}

sub implementation_name
{
   return "columba";
}

sub get_options
{
   my $self = shift;

   return (
      'python=s'       => \$self->{python},
      'database-url=s' => $self->{database_urls},
      $self->SUPER::get_options(),
   );
}

sub print_usage
{
   print STDERR <<EOF
       --python PATH            - the interpreter that has Columba installed.
                                  Defaults to 'python3'.

       --database-url URL       - an empty PostgreSQL database; once for each of
                                  the two servers. Without it: SQLite.
EOF
}

sub create_server
{
   my $self = shift;
   my %params = @_;

   my $urls = $self->{database_urls};

   return SyTest::Homeserver::Columba->new(
      %params,
      python   => $self->{python},
      database => @$urls ? $urls->[ $params{hs_index} ] // die( "needs another --database-url\n" ) : "sqlite",
   );
}

1;
