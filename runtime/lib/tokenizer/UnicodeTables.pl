#!/usr/bin/perl
# Prints UnicodeTables.inc from the Unicode data that perl ships:
#
#   perl UnicodeTables.pl > UnicodeTables.inc
#
# Part of Pith, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
use strict;
use warnings;
use Unicode::UCD qw(charinfo);
use Unicode::Normalize qw(isComp_Ex);

my (@decompositions, @classes, @lower);
for my $code (0x80 .. 0x1FFFF) {
  next if $code >= 0xAC00 && $code <= 0xD7A3; # Hangul is arithmetic
  next if $code >= 0xD800 && $code <= 0xF8FF; # surrogates and private use
  my $info = charinfo($code) or next;
  my $decomposition = $info->{decomposition};
  if ($decomposition ne '' && $decomposition !~ /</) {
    my ($first, $second) = map { hex } split / /, $decomposition;
    my $composes = defined $second && !isComp_Ex($code) ? 1 : 0;
    push @decompositions, [$code, $first, $second // 0, $composes];
  }
  push_range(\@classes, $code, $info->{combining}) if $info->{combining};
  push @lower, [$code, hex($info->{lower})] if $info->{lower} ne '';
}

# CJK compatibility ideographs of plane 2: singletons, nothing else there concerns us.
for my $code (0x2F800 .. 0x2FA1D) {
  my $info = charinfo($code) or next;
  push @decompositions, [$code, hex($info->{decomposition}), 0, 0] if $info->{decomposition} ne '';
}

sub push_range {
  my ($ranges, $code, $value) = @_;
  my $last = $ranges->[-1];
  if ($last && $last->[1] == $code - 1 && $last->[2] == $value) { $last->[1] = $code }
  else { push @$ranges, [$code, $code, $value] }
}

# Runs of equal distance, of stride 1 (Greek) or 2 (Latin pairs).
my @lower_ranges;
for my $entry (@lower) {
  my ($code, $target) = @$entry;
  my $delta = $target - $code;
  my $last = $lower_ranges[-1];
  my $step = $last ? $code - $last->[1] : 0;
  if ($last && $last->[3] == $delta && ($step == 1 || $step == 2) && ($last->[2] == 0 || $last->[2] == $step)) {
    $last->[1] = $code;
    $last->[2] = $step;
  } else {
    push @lower_ranges, [$code, $code, 0, $delta];
  }
}

sub rows {
  my ($name, $type, $format, @rows) = @_;
  print "static const $type $name\[] = {\n";
  my $line = '   ';
  for my $row (@rows) {
    my $cell = sprintf $format, @$row;
    if (length($line) + length($cell) > 108) { print "$line\n"; $line = '   ' }
    $line .= " $cell";
  }
  print "$line\n};\n\n";
}

print "// Unicode ", Unicode::UCD::UnicodeVersion(), ", printed by UnicodeTables.pl: do not edit.\n";
print "//\n// Part of Pith, under the Apache License v2.0 with LLVM Exceptions.\n";
print "// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception\n\n";
rows('decompositions', 'Decomposition', '{0x%X,0x%X,0x%X,%d},', @decompositions);
rows('combiningClasses', 'CombiningRange', '{0x%X,0x%X,%d},', @classes);
$_->[2] ||= 1 for @lower_ranges;
rows('lowerRanges', 'LowerRange', '{0x%X,0x%X,%d,%d},', @lower_ranges);
