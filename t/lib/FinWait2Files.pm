package FinWait2Files;

# Read and write small files, in tests with and without an httpd.
#
#   slurp($path)             the text of a file, or '' if it does not exist
#   spew($path, $text)       write a file, and replace an existing one
#   script($path, @lines)    write an executable shell script of these lines

use v5.36;
use Exporter qw(import);

our @EXPORT = qw(script slurp spew);

sub slurp ($path) {
    open my $in, '<', $path or return '';
    local $/;
    return <$in> // '';
}

sub spew ($path, $text) {
    open my $out, '>', $path or die "$path: $!";
    print $out $text;
    close $out or die "$path: $!";
}

sub script ($path, @lines) {
    unlink $path;
    spew($path, join "\n", '#!/bin/sh', @lines, '');
    chmod 0755, $path;
}

1;
