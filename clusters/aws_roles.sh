#!/bin/sh
# Once for an AWS account: the instance profiles that cluster.yaml names, for runs in BUCKET. `clusters/aws_roles.sh BUCKET`
# May be run again, for another bucket too: what is there stays, and the policies are set anew.
# The head starts and ends nodes, gives workers their profile, and may read and write the bucket; workers only that.
set -eu
bucket=$1
trust='{"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "sts:AssumeRole",
  "Principal": {"Service": "ec2.amazonaws.com"}}]}'
objects='{"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": ["s3:ListBucket", "s3:GetObject",
  "s3:PutObject", "s3:DeleteObject", "s3:AbortMultipartUpload"],
  "Resource": ["arn:aws:s3:::'$bucket'", "arn:aws:s3:::'$bucket'/*"]}]}'
for role in fashion-sweep-head fashion-sweep-worker; do
    aws iam get-role --role-name $role --output text > /dev/null 2>&1 ||
        aws iam create-role --role-name $role --assume-role-policy-document "$trust" --output text > /dev/null
    aws iam put-role-policy --role-name $role --policy-name bucket --policy-document "$objects"
    profile=$(aws iam get-instance-profile --instance-profile-name $role --output text 2> /dev/null ||
        aws iam create-instance-profile --instance-profile-name $role --output text)
    case $profile in
    *:role/$role*) ;;
    *) aws iam add-role-to-instance-profile --instance-profile-name $role --role-name $role ;;
    esac
done
worker=$(aws iam get-role --role-name fashion-sweep-worker --query Role.Arn --output text)
aws iam attach-role-policy --role-name fashion-sweep-head --policy-arn arn:aws:iam::aws:policy/AmazonEC2FullAccess
aws iam put-role-policy --role-name fashion-sweep-head --policy-name pass-worker --policy-document \
    '{"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "iam:PassRole", "Resource": "'$worker'"}]}'
