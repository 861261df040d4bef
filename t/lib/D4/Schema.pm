package D4::Schema;

# As much of JSON Schema as docs/openapi.json uses.  A keyword that is not
# known here is an error, so that nothing is passed over in silence.

use strict;
use warnings;

use JSON::PP ();

my %KNOWN = map { $_ => 1 } qw(
    type properties required additionalProperties items enum const pattern
    minimum maximum minLength maxLength minItems maxItems description $ref
);


# new(DOCUMENT): references are resolved in it.

sub new {
    my ($class, $doc) = @_;

    return bless { doc => $doc }, $class;
}


sub resolve {
    my ($self, $node) = @_;

    while (ref $node eq 'HASH' && $node->{'$ref'}) {
        my $at = $self->{doc};

        $at = $at->{$_} for split m{/}, $node->{'$ref'} =~ s{^#/}{}r;
        $node = $at // die "no $node->{'$ref'}";
    }

    return $node;
}


sub type_of {
    my ($v) = @_;

    return 'null' if !defined $v;
    return 'object' if ref $v eq 'HASH';
    return 'array' if ref $v eq 'ARRAY';
    return 'boolean' if JSON::PP::is_bool($v);

    my $text = JSON::PP->new->allow_nonref->encode($v);

    return 'string' if $text =~ /^"/;
    return $text =~ /^-?\d+$/ ? 'integer' : 'number';
}


# What is wrong with a value, '' if nothing is.

sub errors {
    my ($self, $schema, $v, $at) = @_;

    $schema = $self->resolve($schema);
    $at //= '$';

    my @unknown = grep { !$KNOWN{$_} && !/^x-/ } keys %$schema;
    return "$at: the schema has @unknown" if @unknown;

    my $type = type_of($v);

    if (defined $schema->{type}) {
        my @types = ref $schema->{type} ? @{ $schema->{type} }
                                        : $schema->{type};
        return "$at is $type, not @types" if !grep { $_ eq $type } @types;
    }

    return "$at is not $schema->{const}"
        if exists $schema->{const} && ($v // '') ne $schema->{const};

    return "$at is none of the values"
        if $schema->{enum}
           && !grep { defined $_ ? defined $v && $_ eq $v : !defined $v }
                    @{ $schema->{enum} };

    return "$at does not match $schema->{pattern}"
        if defined $schema->{pattern} && defined $v
           && $v !~ /$schema->{pattern}/;

    if ($type eq 'object') {
        for my $name (@{ $schema->{required} || [] }) {
            return "$at.$name is missing" if !exists $v->{$name};
        }

        for my $name (sort keys %$v) {
            my $sub = $schema->{properties}{$name}
                // $schema->{additionalProperties};

            next if !defined $sub;
            return "$at.$name is not described"
                if JSON::PP::is_bool($sub) && !$sub;
            next if JSON::PP::is_bool($sub);

            my $error = $self->errors($sub, $v->{$name}, "$at.$name");
            return $error if $error;
        }
    }

    if ($type eq 'array' && $schema->{items}) {
        for my $i (0 .. $#$v) {
            my $error = $self->errors($schema->{items}, $v->[$i], "$at\[$i]");
            return $error if $error;
        }
    }

    return '';
}

1;
