package FinWait2Files;

# Small files, for tests with and without an httpd.
#
#   slurp($path)             a file's text, '' if there is none
#   spew($path, $text)       the file anew
#   script($path, @lines)    an executable shell script of these lines

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
