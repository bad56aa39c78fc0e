# A Columba that SyTest tests: its port, its configuration, its process.
#
# Every setting is one that an operator could write. There is one port, which speaks TLS and serves everything: the
# server is named after it, so that other servers find it without a .well-known file.

use strict;
use warnings;

use Future;

package SyTest::Homeserver::Columba;
use base qw( SyTest::Homeserver );

use Carp;
use Cwd qw( abs_path );
use File::Path qw( remove_tree );
use JSON ();

use SyTest::SSL qw( ensure_ssl_key create_ssl_cert );

sub _init
{
   my $self = shift;
   my ( $args ) = @_;

   $self->{$_} = delete $args->{$_} for qw( python database );
   defined $self->{python} or croak "Need a python";
   defined $self->{database} or croak "Need a database";

   $self->SUPER::_init( $args );

   $self->{port} = main::alloc_port( "columba[$self->{hs_index}]" );
}

sub server_name
{
   my $self = shift;
   return $self->{bind_host} . ":" . $self->{port};
}

sub federation_host
{
   my $self = shift;
   return $self->{bind_host};
}

sub federation_port
{
   my $self = shift;
   return $self->{port};
}

sub public_baseurl
{
   my $self = shift;
   return "https://" . $self->server_name;
}

sub start
{
   my $self = shift;

   # What an earlier run left would be another server under the same name.
   remove_tree( "$self->{hs_dir}/data" );

   ensure_ssl_key( "$self->{hs_dir}/tls.key" );
   create_ssl_cert( "$self->{hs_dir}/tls.crt", "$self->{hs_dir}/tls.key", $self->{bind_host} );

   my $configuration = $self->write_yaml_file( "homeserver.yaml" => $self->_settings );

   return $self->_start_process_and_await_notify(
      setup => [ env => { %ENV } ],
      # The log stays readable after the run, and SyTest need not carry it.
      command => [
         "sh", "-c", 'exec "$0" -m homeserver run -c "$1" 2>"$2"',
         $self->{python}, $configuration, "$self->{hs_dir}/columba.log",
      ],
      name => "columba-$self->{hs_index}",
   )->else( sub {
      die "Unable to start Columba, see $self->{hs_dir}/columba.log: $_[0]\n";
   });
}

sub _settings
{
   my $self = shift;

   my $hs_dir = $self->{hs_dir};

   return {
      server_name     => $self->server_name,
      public_base_url => $self->public_baseurl . "/",
      data_dir        => "$hs_dir/data",
      database        => $self->{database},

      listeners => [ {
         bind  => $self->{bind_host},
         port  => $self->{port} + 0,
         serve => [qw( client federation media admin )],
         tls   => { certificate => "$hs_dir/tls.crt", private_key => "$hs_dir/tls.key" },
      } ],

      # The other servers of the suite, which it plays itself, have certificates of this authority.
      federation => {
         ca_file                 => abs_path( "keys/ca.crt" ),
         allow_private_addresses => JSON::true,
      },

      registration => {
         enabled            => JSON::true,
         require_token      => JSON::false,
         shared_secret      => "reg_secret",
         allow_guest_access => JSON::true,
      },

      # A run makes more than 800 users, as fast as it can.
      passwords   => { argon2_time_cost => 1, argon2_memory_kib => 8 },
      rate_limits => "disabled",

      # The suite knows the versions 1 to 11, and looks for the creator where version 11 has none.
      default_room_version => "10",

      appservices => $self->{app_service_config_files} // [],
   };
}

1;
